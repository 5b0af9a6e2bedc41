// The worker of `calls.js`.
'use strict';

require(process.env.LUSTER_PACKAGE).registerRemoteCommandWithCallback('echo', (answer, data) => answer(data));
