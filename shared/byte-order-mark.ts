/** Some editors put one before every text, where no screen shows it and JSON does not permit it. */
export const withoutByteOrderMark = (text: string): string => (text.startsWith('\uFEFF') ? text.slice(1) : text)
