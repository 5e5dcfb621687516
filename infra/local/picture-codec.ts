import type { Sharp } from 'sharp'

/**
 * What Cloudflare Images does for a deployed edge: makes a PNG a WebP, a JPEG, or another size. Sharp comes with the Workers runtime's own
 * stand-in, which knows no quality.
 *
 * @param request  POST of a PNG, `?format=webp&quality=80&width=512&height=512`, quality 1..100, sides optional
 */
export async function encodePicture(request: Request): Promise<Response> {
  const { searchParams } = new URL(request.url)
  const quality = Number(searchParams.get('quality'))
  try {
    // Only when somebody asks: a machine that sharp has no binary for can serve PNG all the same.
    const { default: sharp } = await import('sharp')
    const given = sharp(new Uint8Array(await request.arrayBuffer()))
    const [width, height] = ['width', 'height'].map((side) => Number(searchParams.get(side)))
    const picture = width && height ? given.resize({ width, height, fit: 'fill', kernel: 'lanczos3' }) : given
    return new Response(new Uint8Array(await encoded(picture, searchParams.get('format'), quality).toBuffer()))
  } catch (error) {
    return new Response(String(error), { status: 500 })
  }
}

function encoded(picture: Sharp, format: string | null, quality: number): Sharp {
  if (format === 'png') return picture.png()
  if (format === 'webp') return picture.webp({ quality })
  // The default halves the resolution of colours, which small pictures cannot spare.
  return picture.jpeg({ quality, chromaSubsampling: '4:4:4' })
}
