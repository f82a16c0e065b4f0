import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { peerOf } from '../rpc/calling-peer.ts';
import { requestIdHeader } from '../rpc/interceptors/request-id.ts';
import type { LocalClient } from '../rpc/local-client.ts';
import type { HttpRequest } from '../rpc/mount.ts';
import type { Dialect, RequestLine, Route } from './dialect.ts';
import { RequestRefused } from './failure.ts';
import { mediaTypeOf, parseForm, parseJson, readBody, textOfBody } from './request-body.ts';
import { mergeParameters, parseParameters } from './url-parameters.ts';

const formType = 'application/x-www-form-urlencoded';
const isJsonType = (name: string): boolean => /^application\/(?:[\w.+-]+\+)?json$/.test(name);

/** What a request is made with. */
export type GatewayRequestOptions = {
  readonly request: HttpRequest;
  readonly line: RequestLine;
  readonly dialect: Dialect;
  readonly client: LocalClient;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
};

/** One request as a dialect sees it: its parts, decoded, and the calls that it may make. */
export class GatewayRequest {
  readonly #options: GatewayRequestOptions;
  readonly #answerHeaders = new Map<string, string>();
  #route: Route | undefined;
  #parameters: ReadonlyMap<string, string> = new Map();
  #params: Readonly<Record<string, string | undefined>> = {};
  #token: string | undefined;
  #requestId: string | undefined;

  constructor(options: GatewayRequestOptions) {
    this.#options = options;
    const { dialect, request } = options;
    const own = dialect.tokenHeader === undefined ? undefined : this.header(dialect.tokenHeader);
    this.#token = own ?? this.header('authorization');
    this.#requestId = this.header(requestIdHeader) ?? dialect.createRequestId?.();
    if (request.headers[requestIdHeader] === undefined && this.#requestId !== undefined) {
      this.#answerHeaders.set(requestIdHeader, this.#requestId);
    }
  }

  /** Says which route serves it, and the variable parts of its path. */
  routeTo(route: Route, params: Readonly<Record<string, string | undefined>>): void {
    this.#route = route;
    this.#params = params;
  }

  /** The path as it was written. */
  get path(): string {
    return this.#options.line.path;
  }

  /** The id under which its calls are logged; undefined before the first of them has begun. */
  get requestId(): string | undefined {
    return this.#requestId;
  }

  /** What its calls want to be in the headers of the answer. */
  get answerHeaders(): ReadonlyMap<string, string> {
    return this.#answerHeaders;
  }

  /** A variable part of the path, decoded. */
  param(name: string): string {
    return this.#params[name] ?? '';
  }

  /** A header by its lower-case name; undefined where it is absent or empty. Text beyond ASCII is read as UTF-8. */
  header(name: string): string | undefined {
    const value = this.#options.request.headers[name];
    const line = Array.isArray(value) ? value.join(', ') : value;
    return line === undefined || line === '' ? undefined : fromUtf8(line);
  }

  /** The query. */
  query(): ReadonlyMap<string, string> {
    return parseParameters(this.#options.line.query, 'the query');
  }

  /** The body as JSON; undefined where there is none. With `anyType` it need not say that it is JSON. */
  async json({ anyType = false } = {}): Promise<unknown> {
    const body = await this.#read();
    if (body.length === 0) return undefined;
    const type = this.#mediaType();
    if (!anyType && type.name !== '' && !isJsonType(type.name))
      throw wrongType(type.name, 'application/json');
    return parseJson(textOfBody(body, type));
  }

  /** Query and form body as one; a body is a form or nothing. */
  async form(): Promise<ReadonlyMap<string, string>> {
    this.#parameters = this.query();
    const body = await this.#read();
    if (body.length === 0) return this.#parameters;
    const type = this.#mediaType();
    if (type.name !== '' && type.name !== formType) throw wrongType(type.name, formType);
    this.#parameters = mergeParameters(this.#parameters, parseForm(textOfBody(body, type)));
    return this.#parameters;
  }

  /** As much of query and form as has been read, also where the rest could not be. */
  get parametersSoFar(): ReadonlyMap<string, string> {
    return this.#parameters;
  }

  /** The body as JSON, or as a form together with the query, by its type. */
  async jsonOrForm(): Promise<unknown> {
    const { name } = this.#mediaType();
    if (isJsonType(name)) return this.json();
    if (name !== '' && name !== formType) throw wrongType(name, `application/json or ${formType}`);
    return Object.fromEntries(await this.form());
  }

  /** Presents a token that was found elsewhere than in its header. */
  presentToken(token: string): void {
    this.#token = token;
  }

  /** Makes a call on behalf of whoever asked, as the routes says that it may. */
  call<Input extends DescMessage, Output extends DescMessage>(
    rpc: DescMethodUnary<Input, Output>,
    request: MessageInitShape<Input>,
  ): Promise<MessageShape<Output>> {
    if (!this.#route?.rpcs.includes(rpc))
      throw new Error(`the route does not say that it calls ${rpc.toString()}`);
    const { client, signal } = this.#options;
    const caller = {
      header: (name: string) => this.#callHeader(name),
      setHeader: (name: string, value: string) => {
        // The calls of one request have one id.
        if (name === requestIdHeader) this.#requestId = value;
        this.#answerHeaders.set(name, value);
      },
      peer: peerOf(this.#options.request),
      signal,
    };
    return client.call(caller, rpc, request);
  }

  #callHeader(name: string): string | undefined {
    if (name === requestIdHeader) return this.#requestId;
    if (name === 'authorization') return this.#token === undefined ? undefined : bearerFrom(this.#token);
    return this.header(name);
  }

  #mediaType() {
    return mediaTypeOf(this.header('content-type'));
  }

  async #read(): Promise<Buffer> {
    const encoding = this.header('content-encoding') ?? 'identity';
    if (encoding.toLowerCase() !== 'identity') {
      throw new RequestRefused(415, 'the body must not be compressed; leave Content-Encoding out');
    }
    return readBody(this.#options.request);
  }
}

/** A token with its scheme; one that has none is a bearer's. */
function bearerFrom(token: string): string {
  return /^\S+$/.test(token) ? `Bearer ${token}` : token;
}

function wrongType(given: string, wanted: string): RequestRefused {
  return new RequestRefused(415, `the Content-Type must be ${wanted}, not ${given.slice(0, 100)}`);
}

/** Node reads headers as Latin-1; what is UTF-8 in them was meant as such. */
function fromUtf8(line: string): string {
  if (/^[\x20-\x7e\t]*$/.test(line)) return line;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(line, 'latin1'));
  } catch {
    return line;
  }
}
