/** A promise that is settled from outside. */
export type OpenPromise = {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};

/** Makes one: what Promise.withResolvers does from Node 22 on. The library runs in users' programs, from Node 20.19. */
export function openPromise(): OpenPromise {
  let settle: Pick<OpenPromise, 'resolve' | 'reject'> | undefined;
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...settle! };
}
