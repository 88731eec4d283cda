# An image with one submission's packages on top of esr's. The context is the submission's folder; docker/README.md says
# how to build it. What compiles stays in the first stage.
ARG IMAGE=esr
# Another build of the same image, on a base with the compilers that an operator needs, as nvcc.
ARG COMPILERS=${IMAGE}

# hadolint ignore=DL3006
FROM ${COMPILERS} AS packages
# A folder of the submission with an operator to be compiled, and a text file of packages; empty: none.
ARG BUILD=
ARG REQUIREMENTS=
# hadolint ignore=DL3002
USER root
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-pip python3-venv ${BUILD:+g++ ninja-build python3-dev} \
 && rm -rf /var/lib/apt/lists/*
# Environments on top of esr's, whose packages pip takes for installed, in the versions that they have.
RUN for place in /opt/builder /opt/submission; do \
      /usr/bin/python3 -m venv --without-pip "$place" \
      && echo /opt/esr/lib/python3*/site-packages > "$(echo "$place"/lib/python3*/site-packages)/esr.pth"; \
    done \
 && /opt/esr/bin/python3 -c 'import importlib.metadata as m; print(*(f"{d.name}=={d.version}" for d in m.distributions()), sep="\n")' \
      > /opt/pinned.txt
COPY . /submission
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ONLY_BINARY=:all: PIP_CONSTRAINT=/opt/pinned.txt
RUN --mount=type=secret,id=pip,target=/run/secrets/pip.conf \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    if [ -s /run/secrets/pip.conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip.conf; fi \
 && if [ -s /run/secrets/ca.pem ]; then export PIP_CERT=/run/secrets/ca.pem; fi \
 && mkdir -p /build/wheels && cd /submission \
 && into() { place=$1 && shift && /usr/bin/python3 -m pip --python "/opt/$place/bin/python3" "$@"; } \
 && if [ -n "${BUILD}" ]; then \
      into builder install setuptools wheel \
      && into builder wheel --only-binary=:none: --no-deps --no-build-isolation --wheel-dir /build/wheels "./${BUILD}" \
      && into submission install --no-deps --no-index /build/wheels/*.whl; \
    fi \
 && if [ -n "${REQUIREMENTS}" ]; then into submission install --find-links /build/wheels --requirement "${REQUIREMENTS}"; fi \
 && rm -f /opt/submission/lib/python3*/site-packages/esr.pth \
 && mv /opt/submission/lib/python3*/site-packages /opt/packages


# hadolint ignore=DL3006
FROM ${IMAGE}
ARG BUILD=
# A YAML's `build` names the folder, too: esr refuses it where that was not compiled.
ENV ESR_BUILT=${BUILD}
COPY --from=packages /opt/packages /opt/packages
# hadolint ignore=DL3002
USER root
RUN echo /opt/packages > "$(echo /opt/esr/lib/python3*/site-packages)/packages.pth"
USER 10001:10001
