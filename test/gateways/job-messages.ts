/** A job as JSON for Add, without schedules, that is called over HTTP. */
export function jobDraftMessage(name: string, more: object = {}): object {
  return { key: { name }, target: { http: { url: 'http://127.0.0.1:9/' } }, ...more };
}
