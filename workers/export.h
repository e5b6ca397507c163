#ifndef WORKERS_EXPORT_H
#define WORKERS_EXPORT_H

/* `jielong-worker export --home DIR --checkpoint ID --format FORMAT PATH`: writes a checkpoint and
 * its tokenizer as another program's files. Returns the exit code. */
int export_main(int argc, char **argv);

#endif
