/**
 * What Cloudflare Images does for a deployed edge: makes a PNG a WebP or a JPEG. Sharp comes with the Workers runtime's own
 * stand-in, which knows no quality.
 *
 * @param request  POST of a PNG, `?format=webp&quality=80`, quality 1..100
 */
export async function encodePicture(request: Request): Promise<Response> {
  const { searchParams } = new URL(request.url)
  const quality = Number(searchParams.get('quality'))
  try {
    // Only when somebody asks: a machine that sharp has no binary for can serve PNG all the same.
    const { default: sharp } = await import('sharp')
    const picture = sharp(new Uint8Array(await request.arrayBuffer()))
    const encoded =
      searchParams.get('format') === 'webp'
        ? picture.webp({ quality })
        : // The default halves the resolution of colours, which small pictures cannot spare.
          picture.jpeg({ quality, chromaSubsampling: '4:4:4' })
    return new Response(new Uint8Array(await encoded.toBuffer()))
  } catch (error) {
    return new Response(String(error), { status: 500 })
  }
}
