/* How other hosts' libvirt and QEMU reach this host: libvirt's configuration files and what is listened on. */
#pragma once

#include "agent/io/libvirt_port.h"
#include "proto/types.pb-c.h"

/* Roots: "/etc/libvirt", "/run" and "/proc", or trees that a test made.
 *
 * Ports and authentication are those of the daemon that serves remote clients (virtproxyd where it runs, else
 * libvirtd), or the defaults. Whether there is a listener is asked of PROC/net/tcp, because a socket unit of
 * systemd's overrides the files; where that can't be read, the files' word holds. `remote` (NULL: not known) is how other hosts
 * connect: its port counts, whatever the files say, because a socket unit may have one of its own. Never NULL. */
Drover__V1__Listening *listening_read(const char *etc_libvirt, const char *run, const char *proc,
                                      const struct libvirt_url *remote);
