/**
 * The API reference: /openapi.json as a page. Our own and no library: the usual ones are ten times the size of the service
 * and load fonts and scripts from elsewhere, which the page's policy forbids.
 */
import { byId, element } from './element.js'
import { members, refName, typeText } from './schema-text.js'

/** @typedef {import('./schema-text.js').Schema} Schema */

try {
  const response = await fetch('/openapi.json')
  if (!response.ok) throw new Error(`status ${response.status}`)
  show(await response.json())
} catch (error) {
  const problem = byId('problem', HTMLParagraphElement)
  problem.textContent = `The service did not hand out its document: ${error instanceof Error ? error.message : error}`
  problem.hidden = false
}

/** @param {Schema} document_ */
function show(document_) {
  byId('about', HTMLParagraphElement).textContent = document_.info.description
  const operations = Object.entries(document_.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )
  byId('contents', HTMLElement).append(
    element(
      'ol',
      {},
      ...operations.map(({ operation, ...at }) => element('li', {}, linkTo(operation.operationId, at))),
    ),
  )
  byId('routes', HTMLDivElement).append(...operations.map(route))
  const schemas = Object.entries(/** @type {Schema} */ (document_.components).schemas)
  byId('schemas', HTMLDivElement).append(...schemas.map(([name, schema]) => schemaArticle(name, schema)))
  // The address named a part that was not there yet when the page was opened.
  document.getElementById(location.hash.slice(1))?.scrollIntoView()
}

/**
 * @param {string} id
 * @param {{ method: string, path: string }} at
 */
function linkTo(id, { method, path }) {
  return element('a', { href: `#${id}` }, element('span', { class: 'method' }, method), ` ${path}`)
}

/** @param {{ method: string, path: string, operation: Schema }} route */
function route({ method, path, operation }) {
  const article = element(
    'article',
    { id: operation.operationId },
    element('h3', {}, element('span', { class: 'method' }, method), ` ${path}`),
    element('p', {}, operation.summary),
  )
  if (operation.description) article.append(element('p', {}, operation.description))
  const parameters = operation.parameters ?? []
  if (parameters.length > 0) {
    article.append(
      element('h4', {}, 'Parameters'),
      list(
        parameters.map((/** @type {Schema} */ parameter) => ({
          name: parameter.name,
          type: `${parameter.in}, ${typeText(parameter.schema)}`,
          about: parameter.description ?? '',
        })),
      ),
    )
  }
  const body = operation.requestBody?.content?.['application/json']
  if (body) article.append(element('h4', {}, 'Body'), element('p', {}, typeLink(body.schema)))
  article.append(element('h4', {}, 'Answers'), list(Object.entries(operation.responses).map(answer)))
  return article
}

/** @param {[string, Schema]} entry */
function answer([status, { description, content = {} }]) {
  const types = Object.entries(content).map(
    ([type, { schema, itemSchema }]) =>
      `${type}: ${itemSchema ? `events of ${typeText(itemSchema.properties.data.contentSchema)}` : typeText(schema)}`,
  )
  return { name: status, type: types.join('; '), about: description }
}

/**
 * @param {string} name
 * @param {Schema} schema
 */
function schemaArticle(name, schema) {
  const article = element('article', { id: `schema-${name}` }, element('h3', {}, name))
  const entries = members(schema)
  article.append(
    entries.length > 0
      ? list(entries.map((entry) => ({ ...entry, name: entry.isRequired ? entry.name : `${entry.name}?` })))
      : element('p', {}, typeText(schema)),
  )
  return article
}

/** @param {{ name: string, type: string, about: string }[]} entries */
function list(entries) {
  return element(
    'dl',
    { class: 'members' },
    ...entries.flatMap(({ name, type, about }) => [
      element('dt', {}, name),
      element('dd', {}, element('span', { class: 'type' }, type), about === '' ? '' : ` ${about}`),
    ]),
  )
}

/** @param {Schema} schema */
function typeLink(schema) {
  return schema.$ref
    ? element('a', { href: `#schema-${refName(schema.$ref)}` }, refName(schema.$ref))
    : typeText(schema)
}
