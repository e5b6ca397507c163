#ifndef WORKERS_GENERATE_H
#define WORKERS_GENERATE_H

/* `jielong-worker generate --home DIR --checkpoint ID --prompt TEXT …`: prints answers of a
 * checkpoint. Takes the right OpenBLAS core type by executing itself again when the environment
 * names none. Returns the exit code. */
int generate_main(int argc, char **argv);

/* OK and error codes → exit codes of DESIGN 9. */
int exit_code(int rc);

#endif
