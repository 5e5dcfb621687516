import type { BundleManifest } from '../../../shared/bundle.ts'
import { AppError } from '../../../shared/error-code.ts'
import { detectorIdentity, generatorIdentity, verifierIdentity } from '../geneval/recording/identities.ts'
import { checkCorrecting, readOrigin } from '../geneval/recording/origin.ts'
import { readRecording } from '../geneval/recording/read-recording.ts'
import type { Recording } from '../geneval/recording/recording.ts'
import { coherenceScale } from '../models/coherence.ts'

/**
 * Reads a finished recording and makes sure that it tells about this bundle: thresholds of one verifier mean nothing for
 * the answers of another, though both have one name.
 *
 * @param bundleDir  folder of the manifest
 * @throws AppError `invalid_request`  when there is no finished recording, or naming the model that is another one
 */
export async function readRecordingOf(manifest: BundleManifest, bundleDir: string, dir: string): Promise<Recording> {
  const recording = await readRecording(dir, coherenceScale(manifest.generator))
  checkCorrecting(dir, await readOrigin(dir), manifest.generator)
  if (recording.configuration.generator !== (await generatorIdentity(bundleDir, manifest))) {
    const message = `${dir} was recorded by another generator than that of ${bundleDir}; name its bundle with --bundle`
    throw new AppError('invalid_request', message)
  }
  const current = new Map<string, string>()
  if (manifest.detector !== undefined) current.set('detector', await detectorIdentity(bundleDir, manifest))
  for (const name of Object.keys(manifest.verifiers)) {
    current.set(name, await verifierIdentity(bundleDir, manifest, name))
  }
  for (const [name, identity] of Object.entries(recording.identities)) {
    if (!current.has(name) || current.get(name) === identity) continue
    const message = `${dir} was looked at by another ${name} than that of ${bundleDir}; start the recording again, which keeps what was sampled`
    throw new AppError('invalid_request', message)
  }
  return recording
}
