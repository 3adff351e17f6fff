/** Prints vitest's JSON result as one line, `N passed, N failed[, N skipped]`, and ends with the tests' exit code. */
import { readFile } from 'node:fs/promises';

const [reportPath, status] = process.argv.slice(2);

const counts = await readFile(reportPath, 'utf8').then(
  (text) => {
    const report = JSON.parse(text);
    // A file that cannot be loaded has no tests of its own to fail.
    const brokenFiles = report.testResults.filter(
      (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
    ).length;
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests + brokenFiles,
      skipped: report.numPendingTests + report.numTodoTests,
    };
  },
  () => ({ passed: 0, failed: 1, skipped: 0 }),
);

// vitest also fails for what no test reports, such as an unhandled rejection.
if (status !== '0' && counts.failed === 0) counts.failed = 1;
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
