import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'

/** Operations of matrix products, 2 for each multiply-add, by the type of their factors. */
export interface Arithmetic {
  readonly int8: number
  readonly float: number
}

/** The part of onnxruntime's profile that is read: one event for each kernel and for each run. */
const ProfileEvent = z.looseObject({
  name: z.string(),
  ts: z.number(),
  dur: z.number(),
  args: z
    .looseObject({
      op_name: z.string().optional(),
      provider: z.string().optional(),
      input_type_shape: z.array(z.record(z.string(), z.array(z.number()))).optional(),
      output_type_shape: z.array(z.record(z.string(), z.array(z.number()))).optional(),
    })
    .optional(),
})
export type ProfileEvent = z.infer<typeof ProfileEvent>

/** Kernels whose inner dimension is the last one of their first input, whatever the runtime has fused into them. */
const PRODUCTS =
  /^(MatMul|MatMulInteger|MatMulIntegerToFloat|DynamicQuantizeMatMul|FusedMatMul|FusedGemm|Gemm|QLinearMatMul)$/

/**
 * Counts the matrix products of a graph's last profiled run as onnxruntime executed it: after its optimisations and with
 * the shapes that it saw. Everything else a graph does is not counted, so a rate made of this is a lower bound.
 *
 * @param prefix  what the session was told to name its profile; there must be exactly one
 */
export async function countArithmetic(prefix: string): Promise<Arithmetic> {
  return arithmeticOf(await readProfile(prefix))
}

/** @param prefix  as `countArithmetic`'s */
export async function readProfile(prefix: string): Promise<ProfileEvent[]> {
  const files = (await readdir(dirname(prefix))).filter((name) => name.startsWith(basename(prefix)))
  const [file, another] = files
  if (file === undefined || another !== undefined) {
    throw new Error(`expected one profile ${prefix}*, found ${files.length}`)
  }
  const text = await readFile(join(dirname(prefix), file), 'utf8')
  return z.array(ProfileEvent).parse(JSON.parse(text))
}

export function arithmeticOf(events: readonly ProfileEvent[]): Arithmetic {
  const sum = { int8: 0, float: 0 }
  for (const { args } of kernelsOfLastRun(events)) {
    if (!PRODUCTS.test(args?.op_name ?? '')) continue
    const [type = '', left = []] = Object.entries(args?.input_type_shape?.[0] ?? {})[0] ?? []
    const [, product = []] = Object.entries(args?.output_type_shape?.[0] ?? {})[0] ?? []
    sum[/^u?int8$/.test(type) ? 'int8' : 'float'] += 2 * (left.at(-1) ?? 0) * product.reduce((all, dim) => all * dim, 1)
  }
  return sum
}

/** The kernels of the last run, each once for each time it ran. */
export function kernelsOfLastRun(events: readonly ProfileEvent[]): ProfileEvent[] {
  const run = events.filter(({ name }) => name === 'model_run').at(-1)
  if (run === undefined) throw new Error('the profile shows no run')
  return events.filter(({ name, ts }) => name.endsWith('_kernel_time') && ts >= run.ts && ts <= run.ts + run.dur)
}
