#ifndef WORKERS_SELFTEST_H
#define WORKERS_SELFTEST_H

/* `jielong-worker selftest …`: runs the known answers of workers/selftest/ on this machine and
 * prints what was expected and what came out. Returns the exit code: 0 when all hold, 1 when one
 * does not. */
int selftest_main(int argc, char **argv);

#endif
