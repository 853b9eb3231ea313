import type { RelationName } from '../model/identifiers.ts';
import { isPlatformData } from '../postgres/supabase.ts';

export type Profile = 'postgres' | 'supabase';

/** Whether the provider keeps this relation itself, so that a snapshot leaves it out and lists it. */
export function managedByProvider(relation: RelationName, profile: Profile): boolean {
  return profile === 'supabase' && isPlatformData(relation);
}
