// The public name of this module, as JS luster has it.
module.exports = require('./shared/public_rpc');
