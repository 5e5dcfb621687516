/**
 * Small pictures enlarged: hard pixels only where each becomes a whole number of device pixels; at any other scale some
 * would come out wider than their neighbours, and smoothing is the lesser evil.
 */
const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target instanceof HTMLImageElement) choose(target)
})

/** Keeps the choice right while the picture, its box or the zoom changes. @param {HTMLImageElement} image */
export function keepCrisp(image) {
  image.addEventListener('load', () => choose(image))
  observer.observe(image)
}

/** @param {HTMLImageElement} image */
function choose(image) {
  const { naturalWidth, clientWidth } = image
  if (naturalWidth === 0 || clientWidth === 0) return
  const scale = (clientWidth * devicePixelRatio) / naturalWidth
  image.classList.toggle('crisp', scale > 1 && Math.abs(scale - Math.round(scale)) < 0.01)
}
