import { type DescFile, type DescService, toBinary } from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

/** A file descriptor as reflection sends it. */
export type FileBytes = Uint8Array;

/** Finds the proto files behind a set of services, with everything that they import, by name and by symbol. */
export class FileIndex {
  readonly serviceNames: readonly string[];
  readonly #files = new Map<string, DescFile>();
  readonly #fileOfSymbol = new Map<string, DescFile>();
  readonly #fileOfExtension = new Map<string, DescFile>();
  readonly #extensionNumbers = new Map<string, number[]>();

  /** `beside` are files that no service imports. */
  constructor(services: readonly DescService[], beside: readonly DescFile[] = []) {
    this.serviceNames = services.map((service) => service.typeName);
    for (const service of services) this.#addFile(service.file);
    for (const file of beside) this.#addFile(file);
  }

  #addFile(file: DescFile): void {
    if (this.#files.has(file.proto.name)) return;
    this.#files.set(file.proto.name, file);
    for (const type of nestedTypes(file)) {
      this.#fileOfSymbol.set(type.typeName, file);
      if (type.kind === 'extension') this.#addExtension(type.extendee.typeName, type.number, file);
      if (type.kind === 'message') {
        for (const member of [...type.fields, ...type.oneofs]) {
          this.#fileOfSymbol.set(`${type.typeName}.${member.name}`, file);
        }
      }
      if (type.kind === 'service') {
        for (const method of type.methods) this.#fileOfSymbol.set(`${type.typeName}.${method.name}`, file);
      }
    }
    for (const dependency of file.dependencies) this.#addFile(dependency);
  }

  #addExtension(extendee: string, number: number, file: DescFile): void {
    this.#fileOfExtension.set(`${extendee}/${number}`, file);
    const numbers = this.#extensionNumbers.get(extendee) ?? [];
    numbers.push(number);
    this.#extensionNumbers.set(extendee, numbers);
  }

  /** The file of that name, such as `carillon/v1/job.proto`, with its imports. */
  byName(name: string): FileBytes[] | undefined {
    return withImports(this.#files.get(name));
  }

  /** The file that defines a service, method, message, field or enum by its full name, with its imports. */
  bySymbol(symbol: string): FileBytes[] | undefined {
    return withImports(this.#fileOfSymbol.get(symbol));
  }

  /** The file that defines an extension of a message, with its imports. */
  byExtension(extendee: string, number: number): FileBytes[] | undefined {
    return withImports(this.#fileOfExtension.get(`${extendee}/${number}`));
  }

  /** The numbers of all extensions of a message; undefined for what is no message here. */
  extensionNumbers(extendee: string): readonly number[] | undefined {
    const numbers = this.#extensionNumbers.get(extendee);
    return numbers ?? (this.#fileOfSymbol.has(extendee) ? [] : undefined);
  }
}

/** The file first, then everything that it imports, each once: clients need no further questions. */
function withImports(file: DescFile | undefined): FileBytes[] | undefined {
  if (file === undefined) return undefined;
  const found = new Set<DescFile>();
  const visit = (next: DescFile): void => {
    if (found.has(next)) return;
    found.add(next);
    next.dependencies.forEach(visit);
  };
  visit(file);
  return [...found].map((each) => toBinary(FileDescriptorProtoSchema, each.proto));
}
