/** Backends that serve clients. */
import { ADMIN_APPLICATION_NAME, adminQuery, type AdminTarget } from './admin.js';

/** Ends all of them, ours apart. Throws DBP_ENGINE_QUERY. */
export async function endClientBackends(engine: AdminTarget): Promise<void> {
  await adminQuery(
    engine,
    `select pg_terminate_backend(pid) from pg_stat_activity
      where backend_type = 'client backend' and application_name <> '${ADMIN_APPLICATION_NAME}'`,
  );
}
