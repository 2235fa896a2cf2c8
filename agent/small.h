/* An agent that waits should cost its host little: what the C library and sixty shared libraries take by default is
 * for other programs. */
#pragma once

/* Before the first thread: two heaps instead of one per thread, small stacks. */
void small_begin(void);

/* After a burst of work (the start, libvirt coming up): gives back free heap and the pages of code that were used
 * once. They are clean pages of files: one that is needed again is mapped again. */
void small_again(void);
