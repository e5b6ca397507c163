#ifndef WORKERS_CORE_H
#define WORKERS_CORE_H

/* OpenBLAS reads its core type when it is loaded: takes the one of this machine's best numeric
 * class by executing this program again with the same arguments. Returns when that has happened
 * before, or cannot. */
void core_choose(int argc, char **argv);

#endif
