import { createMemoryStore } from '../../src/storage/memory.ts';
import { storeSuite } from './store-suite.ts';

storeSuite(() => Promise.resolve(createMemoryStore()));
