/*
 * memory.h - the C library's memory, for a process of many threads that mostly wait.
 */
#ifndef AEGIS_COMMANDS_MEMORY_H
#define AEGIS_COMMANDS_MEMORY_H

/*
 * With many workers glibc's per-thread caches (tcache, up to 7 freed blocks of each of 64 sizes per
 * thread) hold more than the jobs themselves: measured at 1,000 workers, 30 of 150 MB. They can
 * only be switched off before a process starts (GLIBC_TUNABLES, see "Tunables" in the glibc
 * manual), so the program executes itself once more with the same arguments. Call before any thread
 * or file is open. Returns if there is nothing to gain, if the variable is set already (a person's
 * choice, or the second time round), or if it cannot be done: memory is then merely higher.
 */
void memory_settle(int workers);

#endif
