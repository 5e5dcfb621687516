import { describe, expect, it } from 'vitest'
import { withOverrides } from '../../gpu-worker/src/with-overrides.ts'

class Counter {
  #count = 0
  readonly step = 2

  add(): number {
    this.#count += this.step
    return this.#count
  }

  get count(): number {
    return this.#count
  }
}

describe('an object with overrides', () => {
  it('has its own members, private ones behind them included, but for those replaced', () => {
    const counter = new Counter()
    const changed = withOverrides(counter, { add: () => counter.add() * 100 })
    expect(changed.add()).toBe(200)
    expect(changed.count).toBe(2)
    expect(changed.step).toBe(2)
    expect(withOverrides(counter, {}).add()).toBe(4)
  })

  it('passes on what it was never told of', () => {
    const wider = Object.assign(new Counter(), { later: 'field' })
    expect(Reflect.get(withOverrides<Counter>(wider, {}), 'later')).toBe('field')
  })
})
