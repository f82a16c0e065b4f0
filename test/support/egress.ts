import { EgressPolicy, type EgressRule, egressRuleFromText } from '../../src/platform/egress-policy.ts';

/** A policy that opens these entries of CARILLON_EGRESS_ALLOW. */
export function egressTo(...entries: readonly string[]): EgressPolicy {
  return new EgressPolicy(
    entries.map((entry): EgressRule => {
      const rule = egressRuleFromText(entry);
      if (rule.kind === 'problem') throw new Error(`an entry must ${rule.requirement}`);
      return rule;
    }),
  );
}

/** For callees that tests start themselves. */
export const loopbackOpen = egressTo('127.0.0.0/8', '::1');
