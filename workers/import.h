#ifndef WORKERS_IMPORT_H
#define WORKERS_IMPORT_H

/* `jielong import --inspect FILE…`: what people's files hold. Returns the exit code: 65 when a
 * stage would stop at what is wrong with them. */
int import_main(int argc, char **argv);

#endif
