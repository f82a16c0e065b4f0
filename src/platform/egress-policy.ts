/**
 * Which addresses Carillon may call.
 *
 * Purpose. Whoever may add a job chooses what is called, and Carillon stands
 * where that person does not: beside its database, in a private network, on a
 * machine whose cloud gives credentials to whoever asks from it. So only public
 * addresses may be called, and what else an operator has opened.
 *
 * Rules.
 * - What is judged is an address that is about to be connected to, never the
 *   text of a target: notations, redirections by DNS and answers that change
 *   from one lookup to the next all end in an address.
 * - A range opens the addresses in it, whatever name led there.
 * - A name opens the addresses that this name leads to, unless they are
 *   link-local: who answers for a name must not reach the machine's own link.
 * - The metadata address of a cloud is opened by itself only, never by a
 *   name or a range: 0.0.0.0/0 is easily written and hands out the machine.
 * - Carillon's own ports and its database are opened by nothing (own-ports.ts).
 */
import { domainToASCII } from 'node:url';
import {
  type AddressClass,
  type AddressRange,
  addressClassFrom,
  addressRangeFrom,
  addressRangeToText,
  isInRange,
  isSingle,
  standsForIpv4,
  wholeRange,
} from './ip-address.ts';
import { OwnPorts } from './own-ports.ts';

/** One entry of what an operator opens. */
export type EgressRule =
  | { readonly kind: 'range'; readonly range: AddressRange }
  /** Lower case, in ASCII, without a dot at the end. */
  | { readonly kind: 'name'; readonly name: string }
  /** The name and whatever it ends, `.svc.cluster.local` for `*.svc.cluster.local`. */
  | { readonly kind: 'suffix'; readonly suffix: string };

/** What is wrong with an entry: what goes on after "must". */
export type EgressRuleProblem = { readonly kind: 'problem'; readonly requirement: string };

/** Reads an entry: an address, a range (10.0.0.0/8), a host name, or `*.` and the end of host names. */
export function egressRuleFromText(text: string): EgressRule | EgressRuleProblem {
  const shown = JSON.stringify(text.slice(0, 100));
  const range = addressRangeFrom(text);
  if (range) return ruleFromRange(range, shown);
  if (text === 'all' || text === '*') {
    return problem(`name what it opens; 0.0.0.0/0,::/0 in place of ${shown} opens every network there is`);
  }
  if (text === 'none') return problem('be none alone, or a list without it');
  const isSuffix = text.startsWith('*.');
  const name = plainName(isSuffix ? text.slice(2) : text);
  if (!isHostName(name)) {
    return problem(
      `be a list of addresses, ranges such as 10.0.0.0/8, host names such as callee.internal or *.internal; ${shown} is none of them`,
    );
  }
  return isSuffix ? { kind: 'suffix', suffix: `.${name}` } : { kind: 'name', name };
}

function ruleFromRange(range: AddressRange, shown: string): EgressRule | EgressRuleProblem {
  const whole = addressRangeToText(wholeRange(range));
  if (whole !== addressRangeToText(range)) {
    return problem(`have ${whole} in place of ${shown}, which has bits set behind its prefix`);
  }
  if (standsForIpv4(range)) {
    return problem(`have the IPv4 addresses that ${shown} stands for: they are judged as such`);
  }
  return { kind: 'range', range };
}

const problem = (requirement: string): EgressRuleProblem => ({ kind: 'problem', requirement });

/** Judges addresses by what an operator has opened. */
export class EgressPolicy {
  readonly #rules: readonly EgressRule[];
  readonly #own: OwnPorts;

  constructor(rules: readonly EgressRule[], own: OwnPorts = new OwnPorts()) {
    this.#rules = rules;
    this.#own = own;
  }

  /** Whether the address and port are Carillon's own or its database's, which are called by nobody. */
  isOwn(address: string, port: number): boolean {
    return this.#own.has(address, port);
  }

  /** Whether `isOwn` is true of some address with this port. */
  isOwnPort(port: number): boolean {
    return this.#own.hasPort(port);
  }

  /** Whether the address may be connected to for a host, which is a name or an address in any notation. */
  allows(host: string, address: string): boolean {
    const addressClass = addressClassFrom(address);
    return addressClass === 'public' || this.#opens(plainName(host), address, addressClass);
  }

  #opens(name: string, address: string, addressClass: AddressClass): boolean {
    const isMetadata = addressClass === 'metadata';
    const mayBeNamed = !isMetadata && addressClass !== 'link-local';
    return this.#rules.some((rule) => {
      if (rule.kind === 'range')
        return isInRange(address, rule.range) && (!isMetadata || isSingle(rule.range));
      return mayBeNamed && (rule.kind === 'name' ? rule.name === name : name.endsWith(rule.suffix));
    });
  }
}

/**
 * The name as names are compared; empty for what can be no name. What would
 * end a host in a URL must not: the resolver takes it for a part of the name.
 */
function plainName(host: string): string {
  return /[\s/\\:?#@%[\]]/.test(host) ? '' : domainToASCII(host).replace(/\.$/, '');
}

const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** An address in one of its other notations (127.1, 0x7f000001) is no name. */
function isHostName(name: string): boolean {
  const labels = name.split('.');
  return (
    name.length <= 253 &&
    labels.every((part) => label.test(part)) &&
    !/^(?:\d+|0x[\da-f]*)$/.test(labels.at(-1)!)
  );
}
