/**
 * Who may do what where. A role is held in one namespace, or in all of them; it
 * brings permissions, and every call needs one, in the namespace that it is
 * about. What lies in a namespace where a caller holds no role is not there for
 * it; what lies where it holds too little a role is refused.
 */

/** What a call needs; the names of Permission in the proto, which says what each is for. */
export type Permission = 'VIEW' | 'OPERATE' | 'EDIT' | 'ADMINISTER' | 'WORK' | 'ATTEMPT_TOKEN';

/** What a caller is in a namespace; the names of Role in the proto. */
export type Role = 'VIEWER' | 'OPERATOR' | 'EDITOR' | 'ADMIN' | 'WORKER';

/** Stands in a grant for every namespace, also those that are made later. No namespace has this name. */
export const everyNamespace = '*';

/** A role in a namespace, or in all of them (`*`). */
export type Grant = { readonly namespace: string; readonly role: Role };

/** What each role may. */
export const permissionsOfRole: Readonly<Record<Role, readonly Permission[]>> = {
  VIEWER: ['VIEW'],
  OPERATOR: ['VIEW', 'OPERATE', 'WORK'],
  EDITOR: ['VIEW', 'OPERATE', 'WORK', 'EDIT'],
  ADMIN: ['VIEW', 'OPERATE', 'WORK', 'EDIT', 'ADMINISTER'],
  WORKER: ['WORK'],
};

/** What the grants of one caller come to. */
export class Access {
  readonly grants: readonly Grant[];
  readonly #everywhere: ReadonlySet<Permission>;
  readonly #within: ReadonlyMap<string, ReadonlySet<Permission>>;

  constructor(grants: readonly Grant[]) {
    this.grants = grants;
    const all = new Map<string, Set<Permission>>();
    for (const { namespace, role } of grants) {
      const permissions = all.get(namespace) ?? new Set();
      all.set(namespace, permissions);
      for (const permission of permissionsOfRole[role]) permissions.add(permission);
    }
    this.#everywhere = all.get(everyNamespace) ?? new Set();
    all.delete(everyNamespace);
    this.#within = all;
  }

  /** Whether it has a permission in a namespace. */
  allows(permission: Permission, namespace: string): boolean {
    return this.#everywhere.has(permission) || this.#within.get(namespace)?.has(permission) === true;
  }

  /** Whether it has a permission in every namespace, also those that are made later. */
  allowsEverywhere(permission: Permission): boolean {
    return this.#everywhere.has(permission);
  }

  /** Whether there is a namespace in which it has a permission. */
  allowsSomewhere(permission: Permission): boolean {
    return this.namespacesWith(permission)?.length !== 0;
  }

  /** Whether it holds any role in a namespace: then what it may not do there is refused, and not hidden. */
  sees(namespace: string): boolean {
    return this.#everywhere.size > 0 || this.#within.has(namespace);
  }

  /** The namespaces in which it has a permission, sorted; undefined: every one. */
  namespacesWith(permission: Permission): readonly string[] | undefined {
    if (this.#everywhere.has(permission)) return undefined;
    return [...this.#within].flatMap(([name, has]) => (has.has(permission) ? [name] : [])).sort();
  }
}

/** Everything, everywhere: what every caller has where access control is off. */
export const unrestricted = new Access([{ namespace: everyNamespace, role: 'ADMIN' }]);
