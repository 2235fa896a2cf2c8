#include "agent/io/layer2.h"

#include "agent/io/probe_say.h"
#include "agent/io/xml.h"
#include "common/base/loop.h"
#include "common/base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define REFUTED DROVER__V1__PROBE_OUTCOME__PROBE_REFUTED
#define UNDECIDED DROVER__V1__PROBE_OUTCOME__PROBE_UNDECIDED
#define PROVEN DROVER__V1__PROBE_OUTCOME__PROBE_PROVEN

enum { ADDRESS = 6, HEADER = 14, NONCE = 36 };
static const char MARK[] = "drover-probe ";

size_t layer2_make(const unsigned char mac[ADDRESS], const char *nonce, unsigned char frame[LAYER2_FRAME_MAX])
{
    memset(frame, 0, LAYER2_FRAME_MAX);
    memset(frame, 0xff, ADDRESS); /* broadcast */
    memcpy(frame + ADDRESS, mac, ADDRESS);
    frame[12] = LAYER2_TYPE >> 8;
    frame[13] = LAYER2_TYPE & 0xff;
    memcpy(frame + HEADER, MARK, sizeof(MARK) - 1);
    memcpy(frame + HEADER + sizeof(MARK) - 1, nonce, strnlen(nonce, NONCE));
    size_t n = HEADER + sizeof(MARK) - 1 + NONCE;
    return n < LAYER2_FRAME_MIN ? LAYER2_FRAME_MIN : n;
}

bool layer2_is(const unsigned char *frame, size_t n, const char *nonce)
{
    return n >= HEADER + sizeof(MARK) - 1 + NONCE && frame[12] == LAYER2_TYPE >> 8 &&
           frame[13] == (LAYER2_TYPE & 0xff) && memcmp(frame + HEADER, MARK, sizeof(MARK) - 1) == 0 &&
           strlen(nonce) == NONCE && memcmp(frame + HEADER + sizeof(MARK) - 1, nonce, NONCE) == 0;
}

static int ask(int fd, unsigned long what, const char *bridge, struct ifreq *ret)
{
    memset(ret, 0, sizeof(*ret));
    strncpy(ret->ifr_name, bridge, sizeof(ret->ifr_name) - 1);
    return ioctl(fd, what, ret);
}

/* A packet socket on the bridge, or -1 with the outcome. */
static int open_bridge(const char *bridge, unsigned char ret_mac[ADDRESS], Drover__V1__ProbeResult *r)
{
    struct ifreq req;
    _cleanup_close_ int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(LAYER2_TYPE));
    if (fd < 0) {
        probe_say(r, UNDECIDED, errno == EPERM || errno == EAFNOSUPPORT ? "denied" : "failed",
                  "cannot open a packet socket: %s; the agent needs CAP_NET_RAW and AF_PACKET",
                  strerror(errno));
        return -1;
    }
    if (ask(fd, SIOCGIFINDEX, bridge, &req) < 0) {
        probe_say(r, REFUTED, "no-bridge", "there is no bridge %s", bridge);
        return -1;
    }
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(LAYER2_TYPE), .sll_ifindex = req.ifr_ifindex};
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
        probe_say(r, UNDECIDED, "failed", "cannot listen on %s: %s", bridge, strerror(errno));
        return -1;
    }
    if (ask(fd, SIOCGIFFLAGS, bridge, &req) == 0 && !(req.ifr_flags & IFF_UP)) {
        probe_say(r, REFUTED, "down", "bridge %s is down", bridge);
        return -1;
    }
    if (ask(fd, SIOCGIFHWADDR, bridge, &req) == 0)
        memcpy(ret_mac, req.ifr_hwaddr.sa_data, ADDRESS);
    return steal_fd(&fd);
}

void layer2_listen(const struct limit *limit, const char *bridge, const char *nonce,
                   Drover__V1__ProbeResult *r)
{
    unsigned char mac[ADDRESS] = {0}, frame[2048];
    int64_t start = clock_monotonic_ms();
    _cleanup_close_ int fd = open_bridge(bridge, mac, r);
    if (fd < 0)
        return;
    while (limit_poll(limit, fd, POLLIN, -1)) {
        struct sockaddr_ll from = {0};
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &size);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            probe_say(r, UNDECIDED, errno == ENETDOWN ? "down" : "failed", "cannot hear on %s: %s", bridge,
                      strerror(errno));
            return;
        }
        /* One that this host itself sends on the bridge proves nothing. */
        if (n < 0 || from.sll_pkttype == PACKET_OUTGOING || !layer2_is(frame, (size_t)n, nonce))
            continue;
        const unsigned char *m = frame + ADDRESS;
        xml_set(&r->source, xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]));
        probe_say(r, PROVEN, "", "heard on %s from %s", bridge, r->source);
        return;
    }
    probe_say(r, REFUTED, "timeout", "heard nothing on %s within %lld ms", bridge,
              (long long)(clock_monotonic_ms() - start));
}

void layer2_send(const struct limit *limit, const char *bridge, const char *nonce, Drover__V1__ProbeResult *r)
{
    unsigned char mac[ADDRESS] = {0}, frame[LAYER2_FRAME_MAX];
    unsigned sent = 0;
    _cleanup_close_ int fd = open_bridge(bridge, mac, r);
    if (fd < 0)
        return;
    size_t n = layer2_make(mac, nonce, frame);
    do {
        if (send(fd, frame, n, 0) == (ssize_t)n) {
            sent++;
        } else if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR) {
            probe_say(r, errno == ENETDOWN ? REFUTED : UNDECIDED, errno == ENETDOWN ? "down" : "failed",
                      "cannot send on %s: %s", bridge, strerror(errno));
            return;
        }
        limit_poll(limit, -1, 0, LAYER2_EVERY_MS);
    } while (!limit_over(limit));
    probe_say(r, PROVEN, "", "sent %u frames on %s", sent, bridge);
}
