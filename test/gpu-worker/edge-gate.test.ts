import { describe, expect, it } from 'vitest'
import { EdgeGate } from '../../gpu-worker/src/edge-gate.ts'
import { createLog } from '../../gpu-worker/src/log.ts'
import { eventually, useStand } from './worker-stand.ts'

const log = createLog({ format: 'json', level: 'error', write: () => {}, now: () => 0 })

/** A gate whose probes happen one by one, when the test says so. */
function gateOf(answers: (origin: string) => Response | undefined) {
  const waits: number[] = []
  const asked: string[] = []
  let opened = 0
  let turn = Promise.withResolvers<void>()
  const gate = new EdgeGate({
    log,
    onOpen: () => {
      opened += 1
    },
    delay: (ms) => {
      waits.push(ms)
      return turn.promise
    },
    fetch: async (input) => {
      asked.push(String(input))
      const answer = answers(new URL(String(input)).origin)
      if (answer === undefined) throw new TypeError('fetch failed')
      return answer
    },
  })
  const probe = async () => {
    const now = turn
    turn = Promise.withResolvers()
    now.resolve()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { gate, waits, asked, probe, opened: () => opened }
}

const healthy = () => Response.json({ status: 'ok', access: 'open', models: [] })

describe('the gate', () => {
  it('closes when no edge can be reached, and opens when one answers', async () => {
    let isBack = false
    const { gate, probe, asked, opened } = gateOf(() => (isBack ? healthy() : undefined))
    gate.unreachable('http://edge')
    expect(gate.isOpen).toBe(false)
    await probe()
    expect(gate.isOpen).toBe(false)
    isBack = true
    await probe()
    expect(gate.isOpen).toBe(true)
    expect(opened()).toBe(1)
    expect(asked).toEqual(['http://edge/healthz', 'http://edge/healthz'])
  })

  it.each([
    ['a page', () => new Response('<html>ok</html>')],
    ['a 404', () => new Response('', { status: 404 })],
    ['another service', () => Response.json({ status: 'ok' })],
    ['an edge whose settings are wrong', () => Response.json({ status: 'ok', access: 'open' }, { status: 500 })],
    ['an address to go to', () => new Response(null, { status: 302, headers: { location: 'http://other/' } })],
  ])('stays closed while %s answers in the place of an edge', async (_, answer) => {
    const { gate, probe } = gateOf(answer)
    gate.unreachable('http://edge')
    await probe()
    await probe()
    expect(gate.isOpen).toBe(false)
  })

  it('waits longer between probes, within bounds and with jitter', async () => {
    const { gate, waits, probe } = gateOf(() => new Response('', { status: 503 }))
    gate.unreachable('http://edge')
    for (let count = 0; count < 9; count++) await probe()
    const bases = [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000, 15000]
    for (const [index, base] of bases.entries()) {
      expect(waits[index]).toBeGreaterThanOrEqual(base * 0.5)
      expect(waits[index]).toBeLessThanOrEqual(base * 1.5)
    }
    expect(new Set(waits).size).toBe(waits.length)
  })

  it('stays open for one bad address among good ones', () => {
    const { gate } = gateOf(() => undefined)
    gate.reached('http://good')
    gate.unreachable('http://nowhere')
    expect(gate.isOpen).toBe(true)
    gate.unreachable('http://good')
    expect(gate.isOpen).toBe(false)
    gate.reached('http://nowhere')
    expect(gate.isOpen).toBe(true)
  })
})

describe('a worker whose edge is gone', () => {
  const stand = useStand()

  it('receives nothing that it could only give back, and goes on by itself', async () => {
    const worker = stand.worker()
    worker.gate.unreachable(stand.edge.origin)
    const job = stand.edge.openJob()
    stand.send(job)
    ;(await worker.engine.nextJob()).succeed()
    expect(await stand.edge.terminal(job)).toMatchObject({ type: 'succeeded' })
    expect(worker.lines.join()).toContain('an edge answers again')
    await eventually(() => stand.inQueue().ready, 0)
  })
})
