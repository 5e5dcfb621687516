/** Execution providers of onnxruntime-node that this project knows how to configure. */
export const PROVIDERS = ['cpu', 'cuda', 'webgpu'] as const
export type Provider = (typeof PROVIDERS)[number]
