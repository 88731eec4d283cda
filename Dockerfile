# esr and all it needs, pinned; docker/README.md says how to build and run it. BuildKit and podman read it alike.

# Small on purpose: the wheels carry CUDA and cuDNN themselves.
ARG BASE_IMAGE=docker.io/nvidia/cuda:12.6.3-base-ubuntu24.04@sha256:c87e78933f4c16e3272123bf2f75537306596d0fbaa395a29696a22786e5ee0e

FROM ${BASE_IMAGE} AS base
# The state of Ubuntu's archive that packages come from; empty: as it is now, for a base without snapshots.
ARG APT_SNAPSHOT=20260901T000000Z
# The snapshot pins the versions (DL3008). NVIDIA's own list goes, nothing comes from there; so does what differs from
# build to build.
# hadolint ignore=DL3008
RUN rm -f /etc/apt/sources.list.d/cuda* \
 && if [ -n "${APT_SNAPSHOT}" ]; then set -- --snapshot "${APT_SNAPSHOT}"; fi \
 && apt-get update "$@" \
 && apt-get install -y --no-install-recommends "$@" python3 \
 && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/apt/* /var/cache/ldconfig/aux-cache


# Everything that builds stays in this stage.
FROM base AS environment
# hadolint ignore=DL3008
RUN if [ -n "${APT_SNAPSHOT}" ]; then set -- --snapshot "${APT_SNAPSHOT}"; fi \
 && apt-get update "$@" \
 && apt-get install -y --no-install-recommends "$@" python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/esr
ENV PATH=/opt/esr/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# The lock of docker/requirements-VARIANT.txt. Secrets reach one step and no layer: `pip`, a pip.conf with an index of
# yours; `ca`, the certificates of a network that has its own.
ARG VARIANT=cu126
COPY docker/requirements-build.txt docker/requirements-${VARIANT}.txt /build/
RUN --mount=type=secret,id=pip,target=/run/secrets/pip.conf \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    --mount=type=cache,target=/build/.cache/pip \
    export PIP_CACHE_DIR=/build/.cache/pip \
 && if [ -s /run/secrets/pip.conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip.conf; fi \
 && if [ -s /run/secrets/ca.pem ]; then export PIP_CERT=/run/secrets/ca.pem; fi \
 && pip install --require-hashes --only-binary=:all: --requirement /build/requirements-build.txt \
 && pip install --require-hashes --only-binary=:all: --no-binary=antlr4-python3-runtime --no-build-isolation \
      --requirement "/build/requirements-${VARIANT}.txt"

# esr itself; the modes of a checkout depend on its owner's umask, those of the image must not.
COPY pyproject.toml README.md LICENSE /build/esr/
COPY esr /build/esr/esr
COPY hydra_plugins /build/esr/hydra_plugins
COPY models /build/esr/models
COPY conf /build/esr/conf
COPY model_zoo /build/esr/model_zoo
# The repository is not here to tell the version.
ARG VERSION=0+unknown
RUN chmod -R u=rwX,go=rX /build/esr \
 && SETUPTOOLS_SCM_PRETEND_VERSION="${VERSION}" SOURCE_DATE_EPOCH=0 pip install --no-cache-dir --no-deps --no-index --no-build-isolation /build/esr

# Gates: what is installed fits together, and it is the torch that the label promises, with kernels for a Titan Xp.
ARG TORCH=2.7.1
ARG CUDA=12.6
COPY docker/gate.py /build/
RUN pip check \
 && python /build/gate.py "${VARIANT}" "${TORCH}" "${CUDA}"

# Published weights, on request; else they are mounted at /zoo, and the bundled ones stand in where they are not.
ARG WEIGHTS=bundled
RUN --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    mkdir /zoo \
 && if [ -s /run/secrets/ca.pem ]; then export REQUESTS_CA_BUNDLE=/run/secrets/ca.pem; fi \
 && case "${WEIGHTS}" in \
      bundled) ;; \
      published) ESR_ZOO=/zoo esr fetch --all ;; \
      *) echo "WEIGHTS=${WEIGHTS}: published or bundled" >&2; exit 2 ;; \
    esac

# Bytecode that depends on nothing but the sources, not even on their times.
RUN pip uninstall --yes pip \
 && { python -m compileall -q --invalidation-mode unchecked-hash /opt/esr/lib > /dev/null || true; }


FROM base AS final
COPY --from=environment /opt/esr /opt/esr
COPY --from=environment /zoo /zoo
# Results are the caller's, whoever that is: with --user any uid may write to /out.
RUN echo 'esr:x:10001:10001::/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'esr:x:10001:' >> /etc/group \
 && mkdir -p /data /out \
 && chmod 1777 /out

ENV PATH=/opt/esr/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    ESR_OUT=/out \
    ESR_DATA=/data \
    ESR_ZOO=/zoo \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
WORKDIR /out
RUN ["esr", "doctor", "--image"]
VOLUME ["/out"]

ARG VARIANT=cu126
ARG TORCH=2.7.1
ARG CUDA=12.6
ARG VERSION=0+unknown
ARG COMMIT=unknown
ENV ESR_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="esr" \
      org.opencontainers.image.description="Measures efficient super-resolution networks so that the comparison holds on another machine" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      esr.variant="${VARIANT}" \
      esr.torch="${TORCH}" \
      esr.cuda="${CUDA}"
# The first process of a container ignores what it has no handler for; Python has one for SIGINT.
STOPSIGNAL SIGINT
ENTRYPOINT ["esr"]
CMD ["model=imdn"]
