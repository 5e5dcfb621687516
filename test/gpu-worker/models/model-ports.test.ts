import { openBundle } from '../../../gpu-worker/src/models/bundle-loader.ts'
import { describeModelPorts } from '../../contract/model-ports.contract.ts'
import { FakeGenerator, FakeVerifier } from '../../support/fake-models.ts'
import { BUNDLE_DIR } from '../../support/real-bundle.ts'

describeModelPorts(
  'the fakes',
  async () => ({
    generator: new FakeGenerator({ grid: [4, 4] }),
    verifier: new FakeVerifier(),
    close: () => Promise.resolve(),
  }),
  {
    prompts: ['a red cat', 'a blue dog'],
    withUnknown: { prompt: 'a zorgle cat zorgle wug', unknown: ['zorgle', 'wug'] },
  },
)

for (const stepSessions of [1, 2]) {
  describeModelPorts(
    `the embedded bundle, ${stepSessions} sessions a step`,
    async () => {
      const bundle = await openBundle(BUNDLE_DIR, { threads: 2, stepSessions })
      const verifier = bundle.verifiers.get(bundle.manifest.defaultVerifier)
      if (verifier === undefined) throw new Error('the manifest names a default verifier that was not opened')
      return { generator: bundle.generator, verifier, close: () => bundle.close() }
    },
    {
      prompts: ['a photo of a red apple', 'a photo of two dogs'],
      withUnknown: { prompt: 'a Zorgle cat, zorgle-red Zorgle wug!', unknown: ['Zorgle', 'zorgle', 'wug'] },
    },
  )
}
