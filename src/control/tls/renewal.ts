/** An instance that runs for more than a year: its certificate is made anew in time, and its proxy takes it up by itself. */
import type { Instance } from '../instance.js';
import { ensureOwnCertificate } from './own-certificate.js';

const LOOK_MS = 12 * 3_600_000;

/** Until the process ends; does not keep it. */
export function renewCertificate({ record, paths, events }: Instance): void {
  const { tls, host } = record.spec;
  if (!tls || tls.certificateFile !== undefined) return;
  const look = async (): Promise<void> => {
    try {
      if (await ensureOwnCertificate(paths, host))
        events.append(
          'tls.renewed',
          'the certificate was about to expire: there is a new one, under the same root',
        );
    } catch (error) {
      events.append('tls.failed', `the certificate was not renewed: ${(error as Error).message}`);
    }
  };
  setInterval(() => void look(), LOOK_MS).unref();
}
