interface Route {
  method: string
  path: string
}

/** Methods that some route answers at `path`, for the `Allow` header; empty when no route knows the path. */
export function allowedMethods(routes: readonly Route[], path: string): string[] {
  const methods = new Set<string>()
  for (const route of routes) {
    if (route.method !== 'ALL' && matches(route.path, path)) methods.add(route.method)
  }
  if (methods.has('GET')) methods.add('HEAD')
  return [...methods].sort()
}

/** Patterns have only literal and `:name` segments. */
function matches(pattern: string, path: string): boolean {
  const expected = pattern.split('/')
  const actual = path.split('/')
  return (
    expected.length === actual.length &&
    expected.every((segment, index) => (segment.startsWith(':') ? actual[index] !== '' : segment === actual[index]))
  )
}
