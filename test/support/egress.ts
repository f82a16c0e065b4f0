import { EgressPolicy, type EgressRule, egressRuleFromText } from '../../src/platform/egress-policy.ts';
import { OwnPorts } from '../../src/platform/own-ports.ts';

/** A policy that opens these entries of CARILLON_EGRESS_ALLOW. */
export function egressTo(...entries: readonly string[]): EgressPolicy {
  return new EgressPolicy(rulesOf(entries));
}

/** A policy that opens these entries, of an instance that listens on a port of 127.0.0.1. */
export function egressOfListener(port: number, ...entries: readonly string[]): EgressPolicy {
  const own = new OwnPorts();
  own.addListener('127.0.0.1', port);
  return new EgressPolicy(rulesOf(entries), own);
}

const rulesOf = (entries: readonly string[]): EgressRule[] =>
  entries.map((entry): EgressRule => {
    const rule = egressRuleFromText(entry);
    if (rule.kind === 'problem') throw new Error(`an entry must ${rule.requirement}`);
    return rule;
  });

/** For callees that tests start themselves. */
export const loopbackOpen = egressTo('127.0.0.0/8', '::1');
