import type { Command } from 'commander';
import { doctorJob, verifyJob } from '../../app/check-jobs.ts';
import { printableConfig } from '../../app/printable-config.ts';
import { FAILURE_CODES } from '../../model/failure-codes.ts';
import { formatBytes, formatCount } from '../../model/quantities.ts';
import type { VerifyReport } from '../../verify/verify-snapshot.ts';
import type { StreamReport } from '../../verify/verify-stream.ts';
import type { CommandContext } from '../context.ts';
import { limitDownload } from '../options.ts';
import { startProgress } from '../progress.ts';
import { NOT_AUTHENTICATED, findingLine } from '../terminal.ts';
import { trafficLine } from '../traffic.ts';

export function addVerifyCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('verify')
    .description(
      'read what is stored and compare it with the manifests, and the chain of every change stream',
    )
    .argument('[id]', 'one snapshot, or latest (default: all, and all streams)')
    .addOption(limitDownload())
    .option('--deep', 'also decrypt, decompress and count every row', false);
  run.action(command, async ({ settings, terminal, signal, options, args }) => {
    const progress = startProgress(terminal);
    const deep = options['deep'] === true;
    const { reports, streams } = await verifyJob(settings, {
      target: args[0],
      deep,
      signal,
      onSnapshot: (id) => progress.phase(`reading ${id}`),
      onProgress: (done, total) => progress.update(done, total),
    }).finally(() => progress.stop());
    const broken = [...reports, ...streams].filter(({ findings }) =>
      findings.some(({ level }) => level === 'error'),
    );
    const { traffic } = settings;
    const authenticated = settings.trust() !== undefined;
    terminal.result({ ok: broken.length === 0, reports, streams, authenticated, traffic }, [
      ...reports.flatMap((report) => reportLines(report, deep)),
      ...streams.flatMap(streamLines),
      ...(authenticated ? [] : [`  ${NOT_AUTHENTICATED}`]),
      trafficLine(traffic),
    ]);
    if (broken.length > 0) process.exitCode = FAILURE_CODES['integrity.digest'].exit;
  });
}

export function addDoctorCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('doctor')
    .description('look for what would stand in the way, and say what to do')
    .option('--staging <DIR>', 'also look into this staging folder');
  run.action(command, async ({ settings, terminal, signal, options }) => {
    const staging = options['staging'] as string | undefined;
    const findings = await doctorJob(settings, { staging, signal });
    const bad = findings.filter((finding) => finding.level === 'error' || finding.level === 'warning');
    terminal.result({ ok: bad.length === 0, findings }, [
      ...findings.map((finding) => findingLine(finding)),
      bad.length === 0 ? 'nothing stands in the way' : `${bad.length} finding(s) to look at`,
    ]);
    if (bad.length > 0) process.exitCode = FAILURE_CODES['check.findings'].exit;
  });
}

export function addConfigCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('config')
    .description('check the configuration and print it without secrets');
  run.action(command, async ({ settings, terminal }) => {
    const printable = await printableConfig(settings);
    terminal.result({ config: printable }, [JSON.stringify(printable, undefined, 2)]);
  });
}

function reportLines(report: VerifyReport, deep: boolean): string[] {
  const counted = deep ? `, ${formatCount(report.rows)} rows counted` : '';
  return [
    `${report.findings.length === 0 ? 'ok    ' : 'BROKEN'}  ${report.snapshot}: ${formatCount(report.objects)} objects, ${formatBytes(report.bytes)} read${counted}`,
    ...report.findings.map((finding) => `  ${findingLine(finding)}`),
  ];
}

function streamLines(report: StreamReport): string[] {
  const isBroken = report.findings.some(({ level }) => level === 'error');
  return [
    `${isBroken ? 'BROKEN' : 'ok    '}  stream ${report.stream}: ${formatCount(report.objects)} objects, ${formatBytes(report.bytes)} read, ${formatCount(report.transactions)} transactions`,
    ...report.findings.map((finding) => `  ${findingLine(finding)}`),
  ];
}
