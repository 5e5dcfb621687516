/**
 * The same object with some of its methods replaced. Everything else, members that an interface may get later included,
 * is the object's own: a copy of the members known today would lose them without a word.
 */
export function withOverrides<T extends object>(target: T, overrides: Partial<T>): T {
  return new Proxy(target, {
    get(_, key) {
      if (Object.hasOwn(overrides, key)) return Reflect.get(overrides, key)
      const value: unknown = Reflect.get(target, key)
      // Private members exist on the object itself and not on what stands before it.
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
