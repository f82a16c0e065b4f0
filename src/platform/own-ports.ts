/**
 * Where this instance itself can be reached, and its database: what no target
 * may call, whatever an operator has opened. Who may add a job must not thereby
 * speak to the database, or to Carillon in the name of this machine.
 *
 * The addresses are the bound ones of listeners, and of the database all that
 * its name leads to when a connection is made, so that a name which moves
 * (failover) is followed with the next connection; what was kept stays. A
 * listener on every address is asked for the machine's addresses at the time of
 * the question, which comes only for a port that is kept here.
 *
 * Not known, so not kept: addresses that lead here from outside (a balancer, a
 * published port), other instances, and what else serves the same database.
 */
import { networkInterfaces } from 'node:os';
import { addressClassFrom, plainAddressFrom } from './ip-address.ts';

const everyIpv4 = '0.0.0.0';
const everyIpv6 = '::';

/** The ports of an instance and its database, with their addresses. */
export class OwnPorts {
  readonly #addresses = new Map<number, Set<string>>();

  /**
   * A listener at an address, or at 0.0.0.0 or :: on all of the machine's. A name, or port 0, is passed over: what
   * it comes to is known when it is bound.
   */
  addListener(address: string, port: number): void {
    const plain = plainAddressFrom(address);
    if (plain === undefined || port === 0) return;
    const known = this.#addresses.get(port);
    if (known) known.add(plain);
    else this.#addresses.set(port, new Set([plain]));
  }

  /** The database at an address; on this machine it may well listen at every address. */
  addDatabase(address: string, port: number): void {
    this.addListener(address, port);
    if (!isOfThisMachine(address)) return;
    this.addListener(everyIpv4, port);
    this.addListener(everyIpv6, port);
  }

  /** Whether there is something at the port, on whatever address. */
  hasPort(port: number): boolean {
    return this.#addresses.has(port);
  }

  /** Whether a connection to the address and port would lead there. */
  has(address: string, port: number): boolean {
    const known = this.#addresses.get(port);
    const plain = known && plainAddressFrom(address);
    if (plain === undefined) return false;
    // The system takes the unspecified address of a callee for loopback.
    const called = plain === everyIpv4 ? '127.0.0.1' : plain === everyIpv6 ? '::1' : plain;
    if (known?.has(called)) return true;
    // A listener at :: takes IPv4 as well.
    const isEvery = known?.has(everyIpv6) || (known?.has(everyIpv4) && !called.includes(':'));
    return Boolean(isEvery) && isOfThisMachine(called);
  }
}

function isOfThisMachine(address: string): boolean {
  if (addressClassFrom(address) === 'loopback') return true;
  const plain = plainAddressFrom(address);
  return Object.values(networkInterfaces())
    .flat()
    .some((each) => each !== undefined && plainAddressFrom(each.address) === plain);
}
