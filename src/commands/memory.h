/*
 * memory.h - the C library's memory, for a process of many threads that mostly wait.
 */
#ifndef AEGIS_COMMANDS_MEMORY_H
#define AEGIS_COMMANDS_MEMORY_H

/*
 * With many workers glibc's per-thread caches (tcache, up to 7 freed blocks of each of 64 sizes per
 * thread) hold more than the jobs themselves: measured at 1,000 workers, 30 of 150 MB. So they are
 * made smaller (2 blocks of a size; without any, 192 workers take 5% more of the processor), and
 * switched off for very many. That can only be said before a process starts (GLIBC_TUNABLES, see
 * "Tunables" in the glibc manual), so the program executes itself once more with the same
 * arguments. Call before any thread or file is open. Returns if there is nothing to gain, if the
 * variable is set already (a person's choice, or the second time round), or if it cannot be done:
 * memory is then merely higher.
 */
void memory_settle(int workers);

#endif
