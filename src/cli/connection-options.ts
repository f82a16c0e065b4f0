/** How the command line reaches the service: where it is, and with which certificates. */
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { listenAddressFromText, listenAddressToText } from '../config/listen-address.ts';

/** What is said about TLS, each the content of its file. */
export type ConnectionTls = {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
};

const scheme = 'https://';

/** Reads host:port, with `https://` before it or not; plain text is spelled without. */
export function addressFromText(text: string): string {
  const hasTls = text.startsWith(scheme);
  const address = listenAddressFromText(text.replace(/^https?:\/\//, '').replace(/\/$/, ''));
  if (!address) throw new InvalidArgumentError('It has the form host:port, or https://host:port for TLS.');
  return `${hasTls ? scheme : ''}${listenAddressToText(address)}`;
}

/** Whether an address, as it was read, asks for TLS. */
export function hasTls(address: string): boolean {
  return address.startsWith(scheme);
}

/** An address without what says how it is spoken to. */
export function hostAndPort(address: string): string {
  return hasTls(address) ? address.slice(scheme.length) : address;
}

/** Adds the options of TLS, which only an https address takes. */
export function addTlsOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--ca <file>', 'the authorities to trust in place of the public ones, PEM')
        .env('CARILLON_CA_FILE')
        .argParser(contentOfFile),
    )
    .option('--cert <file>', 'a certificate to show, PEM; needs --key', contentOfFile)
    .option('--key <file>', 'its private key, PEM', contentOfFile)
    .hook('preAction', (_, called) => checkTls(called));
}

function checkTls(command: Command): void {
  const { address, cert, key } = command.opts<
    { readonly address?: string | readonly string[] } & ConnectionTls
  >();
  if ((cert === undefined) !== (key === undefined)) command.error('error: --cert and --key go together');
  const addresses = typeof address === 'string' ? [address] : (address ?? []);
  if (addresses.some(hasTls)) {
    if (!addresses.every(hasTls)) command.error('error: either all addresses begin with https:// or none');
  } else if (cert !== undefined || command.getOptionValueSource('ca') === 'cli') {
    command.error('error: certificates need an address that begins with https://');
  }
}

function contentOfFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new InvalidArgumentError(`It cannot be read: ${(error as Error).message}.`);
  }
}
