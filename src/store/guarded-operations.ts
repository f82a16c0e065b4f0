import { domainErrorFromDatabase } from './database-errors.ts';

/** Operations whose failures in the database say so in the domain's words. */
export function guarded<T extends object>(operations: T): T {
  return new Proxy(operations, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(member, target, args);
        if (result instanceof Promise) {
          return result.catch((error: unknown) => {
            throw domainErrorFromDatabase(error);
          });
        }
        return guardedStream(result as AsyncIterable<unknown>);
      };
    },
  });
}

async function* guardedStream<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw domainErrorFromDatabase(error);
  }
}
