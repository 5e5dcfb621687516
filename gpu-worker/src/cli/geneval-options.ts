import { SEARCHES } from '../../../shared/bundle.ts'
import { STRATEGIES } from '../../../shared/job.ts'
import { LIMITS } from '../../../shared/limits.ts'
import { ENGINE_FLAGS, ENGINE_HELP } from './engine-settings.ts'
import { PROMPT_FLAGS, PROMPT_HELP } from './geneval-prompts.ts'
import { RECORDING_DEFAULTS, RECORDING_FLAGS } from './geneval-recording-options.ts'
import { RUN_DEFAULTS, RUN_FLAGS } from './geneval-run-options.ts'
import { TUNING_DEFAULTS } from './geneval-tune-options.ts'
import { TUNING_FLAGS } from './geneval-tuning-flags.ts'

export const GENEVAL_FLAGS = [
  ...PROMPT_FLAGS,
  'images',
  'candidates',
  'steps',
  'corrections',
  'guidance',
  'seed',
  ...RUN_FLAGS,
  'record',
  ...RECORDING_FLAGS,
  'report',
  'tune',
  ...TUNING_FLAGS,
  ...ENGINE_FLAGS,
] as const

export const GENEVAL_HELP = `npm run geneval -- [flags]

Makes pictures through the engine and scores them with the bundle's strict yardstick, GenEval's rules over its detector
beside it (docs/yardstick.md). With --record it makes complete candidates instead, for comparing strategies with --report.

Pictures:
${PROMPT_HELP}
  --images N           pictures for each prompt (${RUN_DEFAULTS.images}; ${RECORDING_DEFAULTS.images} with --record)
  --candidates N       paths of each picture, ${LIMITS.candidates.min}-${LIMITS.candidates.max} (${RUN_DEFAULTS.candidates}; ${RECORDING_DEFAULTS.candidates} with --record)
  --steps N            mask-predict steps (the bundle's default)
  --corrections N      steps after these in which unlikely tokens are drawn anew (the bundle's default)
  --guidance G         weight of the prompt, ${LIMITS.guidance.min}-${LIMITS.guidance.max} (the bundle's default)
  --seed N             of the pictures (0)

Scoring a strategy:
  --strategy S         ${STRATEGIES.join(', ')} (parm)
  --accept A           best: compare all survivors, as the paper does; first: stop at the first that passes (best)
  --search LIST        what is done beyond the paper: ${SEARCHES.join(', ')} (the verifier's default, or
                       plain). Several are made of the same prompts and seeds and compared with the first, in one table of scores, gains and costs
  --guided LIST        share of the steps, from the first on, that are guided, 0-1 (the bundle's default, or 1). Several
                       are compared as searches are
  --verifier NAME      verifier of the bundle (its default)
  --out DIR            results, pictures and report (out/geneval/ and a name made of the configuration)

Recording:
  --record DIR         samples every candidate to its last step without pruning and stores all predictions; then the
                       yardstick and every verifier of the bundle look at them. A new yardstick or verifier looks at
                       the same recording again
  --look-at LIST       steps whose pictures they look at, counted from 0, beside the finished one (those that the bundle's
                       verifiers judge); --tune chooses among these

Comparing:
  --report DIR         the paper's tables and figures from a finished recording: every strategy and verifier of the
                       bundle on the same candidates, what each score costs, and where verifiers err
  --out DIR            of the report (report/ in the recording)
  --tune DIR           which judged steps and thresholds of parm give which score for which cost on a recording: choose
                       by one of prompts that are not reported. With --candidates N (${TUNING_DEFAULTS.candidates}), --accept A, --verifier NAME;
                       --search plain or halving; what --judged-steps LIST, --clarity P, --potential P or --alignment P
                       say is taken as given, and of --least-gain LIST each is tried. A step can be judged where it was looked at.
                       No more than 1,500 settings are tried: some minutes for 144 prompts

${ENGINE_HELP}

A run or recording that was cut short continues when it is started again with the same flags. Progress goes to stderr.
The last line of stdout is one JSON object. Scoring: the six task scores and overall
by GenEval's rules, rowSteps, judgeCalls, and scores by the yardstick (strict), by each of its instruments (detector, matcher) and
their disagreement; several sets of
prompts give one such object each, by name, and so do runs that are compared, with what each gains. Recording: pictures, candidates, rowSteps. Comparing: candidates
(N) and methods, each with the six task scores and overall by GenEval's rules and as strict by the yardstick, and
rowSteps and judgeCalls per picture. Tuning: settings.`
