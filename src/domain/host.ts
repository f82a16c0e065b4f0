/** The bounds of where a callee is reached; the same numbers as in target.proto. */
export const hostLimits = {
  maxHostLength: 253,
  maxServerNameLength: 253,
  maxCaPemLength: 65_536,
} as const;

// Labels of letters, digits, - and _, and so every way to write an IPv4 address.
const name = /^[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?$/;
const ipv6 = /^[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*$/;

/** Whether the text is an IPv6 address, without brackets and without a zone. */
export function isIpv6(text: string): boolean {
  return ipv6.test(text) && URL.canParse(`http://[${text}]/`);
}

/** Whether the text can be looked up or dialled: a name in ASCII or an address, never a scheme, a path or a zone. */
export function isHost(text: string): boolean {
  return text.length <= hostLimits.maxHostLength && (name.test(text) || isIpv6(text));
}

/** Whether the number is a port that can be dialled. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
