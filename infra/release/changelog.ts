import { AppError } from '../../shared/error-code.ts'

/** Of a released section, `## 1.2.3 (2026-11-30)`; and of the one that is being written, `## 1.2.3 (unreleased)`. */
const HEADING = /^## (\d+\.\d+\.\d+) \((unreleased|\d{4}-\d{2}-\d{2})\)$/

interface Section {
  readonly version: string
  /** Undefined while it is being written. */
  readonly date: string | undefined
  readonly lines: readonly string[]
}

function sectionsOf(text: string): Section[] {
  const sections: { version: string; date: string | undefined; lines: string[] }[] = []
  for (const line of text.split('\n')) {
    const [, version, date] = HEADING.exec(line) ?? []
    if (version !== undefined) sections.push({ version, date: date === 'unreleased' ? undefined : date, lines: [] })
    else sections.at(-1)?.lines.push(line)
  }
  return sections
}

/**
 * What a released version changes, without its heading.
 *
 * @throws AppError config_invalid  where the changelog has no dated section of it, or an empty one
 */
export function changesOf(text: string, version: string): string {
  const section = sectionsOf(text).find((candidate) => candidate.version === version)
  if (section?.date === undefined) {
    const has = section ? 'only says "unreleased"' : 'does not name it'
    throw new AppError('config_invalid', `CHANGELOG.md ${has}; \`npm run release -- cut ${version}\` dates its section`)
  }
  const changes = section.lines.join('\n').trim()
  if (changes === '') throw new AppError('config_invalid', `CHANGELOG.md says nothing about ${version}`)
  return changes
}

/**
 * The changelog with the section that was being written closed as `version`, and an empty one for the next patch begun above it.
 *
 * @param date  `2026-11-30`
 * @throws AppError config_invalid  where no section is being written, or `version` has been released
 */
export function closeSection(text: string, version: string, date: string): string {
  const sections = sectionsOf(text)
  if (sections.some((section) => section.version === version && section.date !== undefined)) {
    throw new AppError('config_invalid', `CHANGELOG.md: ${version} has been released already`)
  }
  const open = sections.find((section) => section.date === undefined)
  if (open === undefined) throw new AppError('config_invalid', 'CHANGELOG.md: expected a section "(unreleased)"')
  const next = version.replace(/\d+$/, (patch) => String(Number(patch) + 1))
  return text.replace(`## ${open.version} (unreleased)`, `## ${next} (unreleased)\n\n## ${version} (${date})`)
}
