/**
 * Small pictures enlarged. By default hard pixels only where each becomes a whole number of device pixels; at any other scale some
 * would come out wider than their neighbours, and smoothing is the lesser evil. A visitor who wants to see the pixels, or none, says so.
 */
import { byId } from './element.js'

const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target instanceof HTMLImageElement) choose(target)
})
/** Of this browser, until it is changed. */
const STORED = 'pixels'

const toggle = byId('pixels', HTMLButtonElement)
/** @type {Set<WeakRef<HTMLImageElement>>} */
const images = new Set()
let shown = localStorage.getItem(STORED)

toggle.setAttribute('aria-pressed', String(shown === 'sharp'))
toggle.addEventListener('click', () => {
  shown = shown === 'sharp' ? 'smooth' : 'sharp'
  localStorage.setItem(STORED, shown)
  toggle.setAttribute('aria-pressed', String(shown === 'sharp'))
  for (const known of images) {
    const image = known.deref()
    if (image) choose(image)
    else images.delete(known)
  }
})

/** Keeps the choice right while the picture, its box or the zoom changes. @param {HTMLImageElement} image */
export function keepCrisp(image) {
  images.add(new WeakRef(image))
  image.addEventListener('load', () => choose(image))
  observer.observe(image)
}

/** @param {HTMLImageElement} image */
function choose(image) {
  if (shown !== null) {
    image.classList.toggle('crisp', shown === 'sharp')
    return
  }
  const { naturalWidth, clientWidth } = image
  if (naturalWidth === 0 || clientWidth === 0) return
  const scale = (clientWidth * devicePixelRatio) / naturalWidth
  image.classList.toggle('crisp', scale > 1 && Math.abs(scale - Math.round(scale)) < 0.01)
}
