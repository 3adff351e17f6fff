import { literal } from '../../session-state/index.js';

/** Which statements ask what became of a transaction: before them the engine is told what the writers say (writer/outcomes.ts). */
const ASKS = /\bdbproxy"?\s*\.\s*"?txn_status\b/i;
/** Characters of a statement: who hides it behind more is told to name it. */
const LOOKED_AT = 8_192;

export const asksOutcome = (sql: string): boolean => ASKS.test(sql.slice(0, LOOKED_AT));

export const setFacts = (json: string): string => `set dbproxy.txn_facts = ${literal(json)}`;
