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
RUN site=$(/opt/esr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && for place in /opt/builder /opt/submission; do \
      /usr/bin/python3 -m venv --without-pip "$place" \
      && echo "$site" > "$place/lib/$(basename "$(dirname "$site")")/site-packages/esr.pth"; \
    done \
 && /opt/esr/bin/python3 -c 'import importlib.metadata as m; print(*(f"{d.name}=={d.version}" for d in m.distributions()), sep="\n")' \
      > /opt/pinned.txt
COPY . /submission
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ONLY_BINARY=:all: PIP_CONSTRAINT=/opt/pinned.txt
RUN --mount=type=secret,id=pip,target=/run/secrets/pip.conf \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    if [ -s /run/secrets/pip.conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip.conf; fi \
 && if [ -s /run/secrets/ca.pem ]; then export PIP_CERT=/run/secrets/ca.pem; fi \
 && cd /submission && mkdir /opt/wheels \
 && if [ -n "${BUILD}" ]; then \
      /usr/bin/python3 -m pip --python /opt/builder/bin/python3 install setuptools wheel \
      && PIP_ONLY_BINARY=:none: /usr/bin/python3 -m pip --python /opt/builder/bin/python3 wheel --no-deps --no-build-isolation \
           --wheel-dir /opt/wheels "./${BUILD}" \
      && /usr/bin/python3 -m pip --python /opt/submission/bin/python3 install --no-deps --no-index /opt/wheels/*.whl; \
    fi \
 && if [ -n "${REQUIREMENTS}" ]; then \
      /usr/bin/python3 -m pip --python /opt/submission/bin/python3 install --find-links /opt/wheels --requirement "${REQUIREMENTS}"; \
    fi \
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
RUN echo /opt/packages > "$(/opt/esr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/packages.pth"
USER 10001:10001
