/**
 * Execution providers of onnxruntime-node that this project knows how to configure, in the order in which they are tried
 * where nobody names another: the fastest first, the one that is always there last.
 */
export const PROVIDERS = ['cuda', 'webgpu', 'cpu'] as const
export type Provider = (typeof PROVIDERS)[number]
