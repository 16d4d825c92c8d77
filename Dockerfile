# The server as an image: one static binary and the certificates it trusts, no shell, no package manager, not root.
#
#   docker build -t fieldstation .
#   docker run --read-only -p 5000:5000 -v fieldstation:/data fieldstation
#
# For another architecture: docker buildx build --platform linux/arm64 . The compiler then runs on the builder and
# cross-compiles; nothing is emulated.

# The same version as in rust-toolchain.toml.
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm
ARG BASE_IMAGE=scratch

# BuildKit and buildah set BUILDPLATFORM and TARGETARCH.
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
ARG TARGETARCH
# `dist` is smaller and a little faster than `release`, and takes minutes longer to link.
ARG PROFILE=dist
WORKDIR /build
SHELL ["/bin/bash", "-o", "errexit", "-o", "nounset", "-o", "pipefail", "-c"]

# Tells the steps below the target machine. A cross compiler is installed only if one is needed.
# hadolint ignore=DL3008
RUN host="$(rustc -vV | sed -n 's/^host: //p')"; \
    case "${TARGETARCH:-}" in \
        amd64) target=x86_64-unknown-linux-gnu ;; \
        arm64) target=aarch64-unknown-linux-gnu ;; \
        '') target="$host" ;; \
        *) echo "there is no image for ${TARGETARCH}: give amd64 or arm64" >&2; exit 1 ;; \
    esac; \
    { echo "export CARGO_BUILD_TARGET=$target"; \
      echo "export RUSTFLAGS='-C target-feature=+crt-static'"; \
    } >/build-target; \
    if [ "$target" != "$host" ]; then \
        gnu="${target/-unknown/}"; \
        apt-get update; \
        apt-get install -y --no-install-recommends "gcc-${gnu//_/-}" "libc6-dev-${TARGETARCH}-cross"; \
        rm -rf /var/lib/apt/lists/*; \
        rustup target add "$target"; \
        name="${target//-/_}"; \
        { echo "export CC_${name}=${gnu}-gcc AR_${name}=${gnu}-ar"; \
          echo "export CARGO_TARGET_${name^^}_LINKER=${gnu}-gcc"; \
        } >>/build-target; \
    fi

# The dependencies are a layer of their own, reused until Cargo.toml or Cargo.lock changes. An empty program is built with them.
# Its own artefacts are removed afterwards, because cargo would take them for the real program.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN . /build-target; \
    mkdir src bench; \
    touch src/lib.rs; \
    echo 'fn main() {}' | tee src/main.rs >bench/main.rs; \
    cargo build --locked --all-features --profile "$PROFILE"; \
    rm -rf src bench; \
    find target -name '*fieldstation*' -prune -exec rm -rf {} +

COPY . .
# An empty directory, writable for the image's user: the mount point of a volume.
RUN . /build-target; \
    cargo build --locked --all-features --profile "$PROFILE"; \
    mkdir -p /image/data /image/etc/ssl/certs; \
    cp "target/$CARGO_BUILD_TARGET/$PROFILE/fieldstation" /image/fieldstation; \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/; \
    cp infra/certificates/*.pem /image/etc/ssl/

FROM ${BASE_IMAGE}
COPY --from=build /image/etc /etc
COPY --from=build --chown=10001:10001 /image/data /data
COPY --from=build /image/fieldstation /fieldstation

# Listens on all addresses of the container; the network around the container decides who reaches it.
ENV FIELDSTATION_LISTEN=0.0.0.0:5000 \
    FIELDSTATION_DATA=/data \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 10001:10001
VOLUME /data
EXPOSE 5000
# ECS ignores this health check; the task definition repeats it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/fieldstation", "healthcheck"]
ENTRYPOINT ["/fieldstation"]
CMD ["serve"]
