#!/usr/bin/env bash
# Brings up what the tests of hud-docker need, on Debian and as root: a container engine that answers, the image
# python:3.11-slim, and Podman, which a test starts itself. What is there stays as it is, so that calling it again costs nothing. Nothing of it is taken down.
set -euo pipefail
image=python:3.11-slim
release=bookworm # its Python is 3.11
socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT

exec 9>/run/lock/hud-test-engine.lock
flock 9 # whoever else brings it up is waited for

install_packages() {
    apt-get update -qq >"$log/apt" 2>&1 || true # a list that is old will do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >>"$log/apt" 2>&1 ||
        { cat "$log/apt" >&2; exit 1; }
}

answers() { docker info >/dev/null 2>&1; }

start_engine() {
    packages=()
    command -v dockerd >/dev/null || packages+=(docker.io)
    # Where the kernel has AppArmor, the engine wants its parser.
    [[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) != Y ]] || packages+=(apparmor)
    ((${#packages[@]} == 0)) || install_packages "${packages[@]}"
    command -v docker >/dev/null || install_packages docker-cli # later Debians have it apart
    if [[ -d /run/systemd/system ]]; then
        systemctl start docker
    else
        # Containers must not send longer packets than this machine can.
        mtu=$(cat "/sys/class/net/$(ip -o route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p;q')/mtu" || echo 1400)
        setsid nohup dockerd --host "$socket" --mtu "$mtu" >/var/log/hud-test-dockerd.log 2>&1 </dev/null 9>&- &
    fi
    for _ in $(seq 240); do
        ! answers || return 0
        sleep 0.25
    done
    echo "no engine answers at $socket after a minute" >&2
    tail -n 20 /var/log/hud-test-dockerd.log >&2 || true
    exit 1
}

# Where no registry can be reached, the packages of Debian make an image that Dockerfiles take for the official one.
make_image() {
    command -v mmdebstrap >/dev/null || install_packages mmdebstrap
    hooks=(--customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED; ln -s /usr/bin/python3 "$1/usr/local/bin/python"')
    if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then # of whoever runs this network
        hooks+=(--customize-hook='copy-in /usr/local/share/ca-certificates /usr/local/share'
            --customize-hook='chroot "$1" update-ca-certificates')
    fi
    lean=(--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --skip=check/qemu)
    bundle=/etc/ssl/certs/ca-certificates.crt
    mmdebstrap --quiet --variant=apt --include=ca-certificates,python3,python3-pip,python3-venv "${lean[@]}" "${hooks[@]}" \
        "$release" - 2>"$log/image" |
        docker import -c 'ENV LANG=C.UTF-8' -c "ENV SSL_CERT_FILE=$bundle" -c "ENV PIP_CERT=$bundle" \
            -c "ENV REQUESTS_CA_BUNDLE=$bundle" -c 'ENV PIP_ROOT_USER_ACTION=ignore' -c 'CMD ["python3"]' - "$image" >/dev/null ||
        { cat "$log/image" >&2; exit 1; }
}

answers || start_engine
command -v podman >/dev/null || install_packages podman catatonit
docker image inspect "$image" >/dev/null 2>&1 || timeout 120 docker pull -q "$image" >/dev/null 2>&1 || make_image
