import { describe, expect, it } from 'vitest'
import { WorkerLifecycle, type WorkerTransition } from '../../gpu-worker/src/worker-state.ts'
import { InvariantError } from '../../shared/error-code.ts'

function lifecycle() {
  const transitions: WorkerTransition[] = []
  return { life: new WorkerLifecycle((transition) => transitions.push(transition)), transitions }
}

describe('WorkerLifecycle', () => {
  it('goes from starting to stopped and reports every step with its reason', () => {
    const { life, transitions } = lifecycle()
    life.becomeReady()
    life.drain('SIGTERM')
    expect(life.state).toEqual({ phase: 'draining', why: 'SIGTERM' })
    life.stop()
    expect(transitions.map(({ from, to }) => `${from} -> ${to}`)).toEqual([
      'starting -> ready',
      'ready -> draining',
      'draining -> stopped',
    ])
    expect(transitions[1]?.why).toBe('SIGTERM')
  })

  it('may be drained before it was ready, and may fail at any time before its end', () => {
    const { life } = lifecycle()
    life.drain('SIGINT')
    life.fail(new Error('engine broke'))
    expect(life.state.phase).toBe('failed')
  })

  it.each([
    ['stop', 'starting'],
    ['becomeReady', 'draining'],
    ['drain', 'stopped'],
    ['fail', 'stopped'],
    ['drain', 'failed'],
  ] as const)('refuses to %s when it is %s', (transition, phase) => {
    const { life } = lifecycle()
    if (phase === 'draining' || phase === 'stopped') life.drain('test')
    if (phase === 'stopped') life.stop()
    if (phase === 'failed') life.fail('test')
    expect(life.state.phase).toBe(phase)
    expect(() => life[transition]('why')).toThrow(InvariantError)
    expect(life.state.phase).toBe(phase)
  })
})
