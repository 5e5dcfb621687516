/**
 * What a deployment goes by and this repository could not measure: correct it here for your fleet, and deployment, simulation and the cost
 * sheet (infra/guides/cost-sheet.md, a test compares them) go by it.
 */

/**
 * Row-steps that one task of the smallest instance type (one NVIDIA L4) does in a second with the embedded bundle. An estimate, on
 * the low side: too low starts a task too many, too high lets jobs wait. `npm run bench:engine` on the machine in question says what it is;
 * a larger model does fewer.
 */
export const ROW_STEPS_PER_SECOND = 400

/**
 * Dollars for an hour of one task: Amazon EC2's list price on demand for g6.xlarge (Linux, us-east-1), as published in 2026. Spot is about half
 * of it, and moves. `npm run simulate -- --dollars` takes another for one run.
 */
export const DOLLARS_PER_TASK_HOUR = 0.8048
