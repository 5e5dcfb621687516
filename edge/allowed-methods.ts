interface Route {
  method: string
  path: string
}

/** Methods that some route answers at `path`, for the `Allow` header; empty when no route knows the path. */
export function allowedMethods(routes: readonly Route[], path: string): string[] {
  const found = routes.filter((route) => route.method !== 'ALL' && matches(route.path, path))
  // A literal address is nobody's parameter, whatever the method.
  const literal = found.filter((route) => route.path === path)
  const methods = new Set((literal.length > 0 ? literal : found).map(({ method }) => method))
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
